"""Checks of everything that facestream needs to run; each finding names its remedy.

Every check looks at one part and changes nothing.
"""
