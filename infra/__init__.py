"""Local services and everything that runs facestream elsewhere. Known only to the command line."""
