"""Search: albums of embedded images, and how queries are scored against them."""
