"""The published FIND's losses, inference recipes and click simulation over our interface, for comparison."""
