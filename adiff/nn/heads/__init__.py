"""What turns features into outputs; read base.py first."""
