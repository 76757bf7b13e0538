"""From measurements to one HTML page; read page.py first."""
