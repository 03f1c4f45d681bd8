"""Reading images, and bringing them to the sizes that encoders take."""
