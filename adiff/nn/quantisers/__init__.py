"""What turns an encoder's features into tokens; read base.py first."""
