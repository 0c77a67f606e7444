function showComparison() {}
