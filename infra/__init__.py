"""Local services, and everything that installs and runs facestream. Only ``streams.cli`` and ``devtools`` import it."""
