"""What a model cannot know that has seen only successes, and how many failures mend it."""
