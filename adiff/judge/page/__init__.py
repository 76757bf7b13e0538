"""From sections to one HTML page; read page.py first."""
