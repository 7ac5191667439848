"""What a model of two classes of molecules cannot know that has seen one of them alone."""
