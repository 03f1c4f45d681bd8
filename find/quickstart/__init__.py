"""What people look at: drawings of results, and the main job from data to a report."""
