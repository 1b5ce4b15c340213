"""From ids to scores to ids. The only place that knows torch."""
