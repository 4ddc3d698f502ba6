"""Has what a camera shows, or what the model makes of it, become something else?"""
