"""What tasks of masks share, and instances: classes of voxels, their loss, and connected parts."""
