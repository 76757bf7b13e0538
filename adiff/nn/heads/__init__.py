"""What turns features into outputs; read linear.py first."""
