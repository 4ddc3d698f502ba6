/** Pictures that a person chooses: from a file, by dropping it, or from the webcam; and boxes drawn over them. */

import { kindOf, nameOf } from "./answers.js";
import { counted, make } from "./dom.js";

const LONGEST = 1280;
const COLORS = { match: "--match", ambiguous: "--ambiguous", unknown: "--unknown", no_match: "--unknown", refused: "--refused" };

/** What gives pictures: `onPictures(files)` is called with those that were chosen. */
export function picker({ multiple = false, onPictures }) {
  const input = make("input", { type: "file", id: "picture", accept: "image/*,.heic,.heif", multiple, class: "unseen",
    onchange: () => { give([...input.files]); input.value = ""; } });
  const drop = make("label", { class: "drop", for: "picture",
    ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
    ondragleave: () => drop.classList.remove("over"),
    ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); give([...event.dataTransfer.files]); } },
    make("b", {}, multiple ? "Choose photos" : "Choose a photo"), make("span", {}, multiple ? " or drop them here" : " or drop one here"));
  const note = make("p", { role: "alert" });
  const webcam = make("button", { type: "button", onclick: () => useWebcam(give, note) }, "Use the webcam");

  function give(files) {
    note.textContent = "";
    if (files.length) onPictures(multiple ? files : files.slice(0, 1));
  }
  return make("div", { class: "picker" }, input, drop, webcam, note);
}

async function useWebcam(give, note) {
  note.textContent = "";
  if (!navigator.mediaDevices) {
    note.textContent = "Browsers allow the webcam only over https, or on the machine itself.";
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" } });
  } catch (error) {
    note.textContent = error.name === "NotAllowedError" ? "The browser was not allowed to use the webcam." : "No webcam was found.";
    return;
  }
  const video = make("video", { autoplay: true, playsinline: true, "aria-label": "What the webcam sees" });
  video.muted = true;
  video.srcObject = stream;
  const dialog = make("dialog", { "aria-label": "Webcam", onclose: () => { stream.getTracks().forEach((track) => track.stop()); dialog.remove(); } },
    video,
    make("div", { class: "tools" },
      make("button", { type: "button", class: "main", onclick: take }, "Take the photo"),
      make("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
  document.body.append(dialog);
  dialog.showModal();

  function take() {
    if (!video.videoWidth) return;
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => { dialog.close(); give([new File([blob], "webcam.jpg", { type: "image/jpeg" })]); }, "image/jpeg", 0.92);
  }
}

/** A canvas with the picture; `null` where the browser cannot show it. */
export async function drawn(picture) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(picture);
  } catch {
    bitmap = null; // HEIC, for example: the workers can read it all the same
  }
  const canvas = make("canvas", { class: "picture", role: "img", "aria-label": `The picture ${picture.name}` });
  resize(canvas, bitmap?.width ?? 640, bitmap?.height ?? 480);
  if (bitmap) canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function resize(canvas, width, height) {
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
}

/** Draw boxes and names over a picture. `size` is what the workers saw: its width and height. */
export function drawFaces(canvas, size, faces, { names = true } = {}) {
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const [scaleX, scaleY] = [canvas.width / size.width, canvas.height / size.height];
  const unit = Math.max(canvas.width, canvas.height) / 200; // the canvas is shown smaller than it is
  context.lineWidth = Math.max(2, names ? unit : 4 * unit);
  context.font = `600 ${Math.max(13, 5.5 * unit)}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const face of faces) {
    const color = style.getPropertyValue(COLORS[kindOf(face)]);
    const [x, y] = [face.box.x * scaleX, face.box.y * scaleY];
    const [width, height] = [face.box.width * scaleX, face.box.height * scaleY];
    context.strokeStyle = color;
    context.strokeRect(x, y, width, height);
    if (!names) continue;
    const name = nameOf(face);
    const tall = Math.max(20, 8 * unit);
    const wide = context.measureText(name).width + tall / 2;
    const left = Math.max(0, Math.min(x, canvas.width - wide));
    const top = y + height + tall > canvas.height ? Math.max(0, y - tall) : y + height;
    context.fillStyle = color;
    context.fillRect(left, top, wide, tall);
    context.fillStyle = style.getPropertyValue("--on-box");
    context.fillText(name, left + tall / 4, top + tall / 2);
  }
  canvas.setAttribute("aria-label", `The picture with ${counted(faces.length, "face")}: ${faces.map(nameOf).join(", ") || "none"}`);
}
