"""Sources of pictures: folders, video files, cameras and streams.

Needs OpenCV and nothing of Kafka; the command line imports it.
"""
