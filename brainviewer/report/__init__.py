"""The report of a study: what was run, what it found, how far it can be trusted; as one HTML file and as PDF.

contents.Contents is all that a report says, in plain values; html.py and pdf.py write it with the templates in
resources/templates. figures.py paints the pictures with Qt, as vectors where there is no voxel: sharp in print.

Decisions (2026-11): no name, date or identifier of the patient is written unless the user asks. One template for both
forms; what Qt's rich text does not know (flexible layout, page rules) is in the part for browsers. The pages are
made by QTextDocument and QPdfWriter, which are at hand: no browser engine, no other library.
"""
