"""What a person sees and types: the only place that touches the terminal."""
