"""The report of a run: `evidence.json` written, read back, and rendered as one HTML page and as JUnit XML.

`evidence.json` is the only input of the page and of the XML, so both can be made again, at any time, from it alone.
"""
