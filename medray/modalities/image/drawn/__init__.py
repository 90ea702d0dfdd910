"""New images, drawn by models that have learnt what images are like."""
