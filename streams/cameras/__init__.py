"""Sources of pictures (folders, video files, cameras and streams), and the process that sends many cameras.

Needs OpenCV, and PyAV for network cameras (the extra ``camera``); the command line imports it.
"""
