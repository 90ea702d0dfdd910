"""What rows say of classes, and what classes weigh: shared by tasks."""
