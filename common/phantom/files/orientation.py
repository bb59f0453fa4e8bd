"""The same voxels with axes running in other directions."""

import nibabel as nib

from common.volume import Volume


def oriented(volume: Volume, codes: str) -> Volume:
    """The volume with array axes running nearest to the directions `codes`, such as "LPS" or "PIR"; lossless.

    The affine follows, so every voxel stays where it is in the world.
    """
    now = nib.orientations.io_orientation(volume.affine)
    change = nib.orientations.ornt_transform(now, nib.orientations.axcodes2ornt(codes))
    array = nib.orientations.apply_orientation(volume.array, change)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(change, volume.array.shape)
    return Volume(array, affine, volume.notices)
