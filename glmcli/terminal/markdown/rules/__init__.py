"""What this program has markdown-it do otherwise: its rules, and when they are asked."""
