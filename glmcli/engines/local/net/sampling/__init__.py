"""From scores to ids: which id comes next, as generate would choose it."""
