"""Files of vectors with users, subjects and consents as columns, for NumPy (``.npz``) and Parquet (``.parquet``).

Nothing imports it but the import and the export of galleries.
"""
