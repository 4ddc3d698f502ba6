"""Nodes of the test's cluster: each container is a process of this machine, watched by its own probes.

``python -m tests.cluster.kubelet PORT FOLDER NODE...`` registers the nodes, starts the pods that the scheduler binds to
them, stops those that are deleted, and provides volumes for claims. A volume belongs to no node, like a disk of a
network. All share the machine's network, so each pod has an address of its own in 127.0.0.0/8, and listens there.
"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import requests

from tests.cluster.api import Api
from tests.cluster.pod import Pod, timestamp

PROVISIONER = "facestream.test/folders"
_POLL_S = 0.5
_BEAT_S = 5.0


class Kubelet:
    """The nodes, and what runs on them."""

    def __init__(self, api: Api, folder: Path, nodes: list[str]) -> None:
        self._api = api
        self._folder = folder
        self._nodes = nodes
        self._pods: dict[str, Pod] = {}
        self._addresses = (f"127.0.{third}.{fourth}" for third in range(2, 250) for fourth in range(1, 250))
        self._stop = threading.Event()

    def stop(self, *_: object) -> None:
        """End the loop, and all pods."""
        self._stop.set()

    def run(self) -> None:
        """Until it is stopped."""
        for name in self._nodes:
            labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{name}"}
            self._api.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
        beat = 0.0
        try:
            while not self._stop.wait(_POLL_S):
                try:
                    if time.monotonic() > beat:
                        self._beat()
                        beat = time.monotonic() + _BEAT_S
                    self._volumes()
                    self._look()
                except requests.RequestException as error:
                    print("asking again:", error, flush=True)
        finally:
            for pod in self._pods.values():
                pod.kill()

    def _beat(self) -> None:
        capacity = {"cpu": "16", "memory": "32Gi", "pods": "110"}
        now = timestamp()
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": now}
        status = {"capacity": capacity, "allocatable": capacity, "conditions": [ready]}
        for name in self._nodes:
            self._api.merge(f"/api/v1/nodes/{name}/status", {"status": status})

    def _look(self) -> None:
        there = {one["metadata"]["uid"]: one for one in self._api.list("/api/v1/pods")}
        for uid, found in there.items():
            if found["spec"].get("nodeName") not in self._nodes:
                continue
            if uid not in self._pods:
                address = next(self._addresses)
                self._pods[uid] = Pod(self._api, found, self._folder / "pods", address)
                self._pods[uid].start()
            if "deletionTimestamp" in found["metadata"]:
                self._pods[uid].end(found["metadata"].get("deletionGracePeriodSeconds", 30))
        for uid in self._pods.keys() - there.keys():
            self._pods.pop(uid).end(0)

    def _volumes(self) -> None:
        """Provide what is claimed, and remove what no claim uses any more."""
        held = {one["metadata"]["name"]: one for one in self._api.list("/api/v1/persistentvolumes")}
        for claim in self._api.list("/api/v1/persistentvolumeclaims"):
            meta, spec = claim["metadata"], claim["spec"]
            name = f"pvc-{meta['uid']}"
            if claim["status"].get("phase") != "Pending" or name in held:
                continue
            path = self._folder / "volumes" / name
            path.mkdir(parents=True, exist_ok=True)
            same = {"namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
            wanted = {
                "capacity": spec["resources"]["requests"],
                "accessModes": spec["accessModes"],
                "storageClassName": spec["storageClassName"],
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **same},
                "hostPath": {"path": str(path)},
                "persistentVolumeReclaimPolicy": "Retain",
            }
            self._api.create("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": wanted})
        for name, volume in held.items():
            if volume["status"].get("phase") == "Released":
                shutil.rmtree(volume["spec"]["hostPath"]["path"], ignore_errors=True)
                self._api.delete(f"/api/v1/persistentvolumes/{name}")


if __name__ == "__main__":
    kubelet = Kubelet(Api(int(sys.argv[1])), Path(sys.argv[2]), sys.argv[3:])
    signal.signal(signal.SIGTERM, kubelet.stop)
    kubelet.run()
