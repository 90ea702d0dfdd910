"""Several volumes at one place: told apart by what slices say of themselves, or not at all."""

import random

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

POSITIONS = 5


@pytest.fixture
def cohort(write_series):
    """Write `volumes` volumes of five slices; every voxel is 1000 * (volume + 1) + position."""

    def write(volumes=2, change=lambda data, volume, position: None, numbers="random"):
        chance = random.Random(7)
        places = [(v, p) for v in range(volumes) for p in range(POSITIONS)]
        number = list(range(1, len(places) + 1))
        if numbers == "random":
            chance.shuffle(number)
        if numbers == "by position":
            number = [1 + p * volumes + v for v, p in places]
        order = chance.sample(range(len(places)), len(places))  # of file names

        def put(data, index):
            volume, position = places[order[index]]
            data.Modality, data.RescaleIntercept = "MR", 0
            data.SOPInstanceUID = f"1.2.3.4.{order[index] + 1}"
            data.InstanceNumber = None if numbers == "absent" else number[order[index]]
            data.ImagePositionPatient = [0, 0, 2.0 * position]
            data.PixelData = np.full((4, 6), 1000 * (volume + 1) + position, "<u2").tobytes()
            change(data, volume, position)

        write_series(len(places), change=put)

    return write


def stacks(found):
    return [sample.arrays["image"][0, :, 0, 0].tolist() for sample in found.samples]


def expected(volumes):
    return [[1000 * (v + 1) + p for p in range(POSITIONS)] for v in range(volumes)]


MARKS = {
    "ImageType": lambda v, p: ["ORIGINAL", "PRIMARY", "MP"[v % 2]],
    "EchoTime": lambda v, p: (4.6, 29.98)[v],
    "EchoNumbers": lambda v, p: v + 1,
    "TemporalPositionIdentifier": lambda v, p: v + 9,
    "AcquisitionNumber": lambda v, p: v + 1,
    "DiffusionBValue": lambda v, p: (0.0, 1000.0)[v],
    "SequenceName": lambda v, p: f"ep_b{v}",
    "TriggerTime": lambda v, p: 400 * v + 37.5 * p,
    "AcquisitionTime": lambda v, p: f"1200{30 * v + (3 * p) % 7:02d}.5",
    "FrameReferenceTime": lambda v, p: 1000.0 * v,
    "InversionTime": lambda v, p: 100 + 800 * v,
    "ConvolutionKernel": lambda v, p: ("B30f", "B70f")[v],
}


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize("numbers", ["random", "absent"])
def test_each_attribute_tells_two_volumes_apart(cohort, ingest, name, numbers):
    cohort(2, lambda data, v, p: setattr(data, name, MARKS[name](v, p)), numbers)
    assert ingest().codes == {"several-volumes": 10}
    order = sorted if name == "ImageType" else list
    assert order(stacks(ingest(volumes="split"))) == expected(2)


def test_attributes_tell_apart_together(cohort, ingest):
    def change(data, volume, position):
        data.EchoTime = 10 + 20 * (volume % 2)
        data.TemporalPositionIdentifier = 1 + volume // 2

    cohort(6, change)
    by_echo = [0, 2, 4, 1, 3, 5]
    assert stacks(ingest(volumes="split")) == [expected(6)[v] for v in by_echo]


@pytest.mark.parametrize("numbers", ["in order", "by position"])
def test_instance_numbers_that_run_through_whole_volumes_or_positions_do_too(
    cohort, ingest, numbers
):
    cohort(3, numbers=numbers)
    assert stacks(ingest(volumes="split")) == expected(3)


def same_number(data, volume, position):
    data.InstanceNumber = 1


def number_of_position(data, volume, position):
    data.InstanceNumber = position + 1  # as in both of two series under one UID


def contradicting_echoes(data, volume, position):
    data.EchoTime = 10 if (volume, position) in ((0, 0), (1, 0), (0, 1)) else 30


def one_phase_is_missing(data, volume, position):
    data.TemporalPositionIdentifier = 1 if position == 3 else volume + 1


def overlapping_times(data, volume, position):
    data.ContentTime = f"1200{7 * volume + 5 * position:02d}"


@pytest.mark.parametrize("numbers", ["random", "absent"])
@pytest.mark.parametrize(
    "change",
    [
        lambda data, volume, position: None,
        same_number,
        number_of_position,
        contradicting_echoes,
        one_phase_is_missing,
        overlapping_times,
    ],
)
def test_what_nothing_tells_apart_is_refused_and_never_mixed(cohort, ingest, change, numbers):
    cohort(2, change, numbers)
    for volumes in ("split", "refuse"):
        (error,) = ingest(volumes=volumes).errors
        assert error.code == "indistinct-volumes"
        assert "series UID of its own" in error.hint


def test_two_volumes_beside_each_other_are_no_regular_one(cohort, ingest):
    """The second lies half a slice distance along the first: together they look regular."""

    def change(data, volume, position):
        data.EchoTime = (10, 30)[volume]
        data.ImagePositionPatient = [0, 0, 2.0 * position + volume]

    cohort(2, change)
    assert ingest(volumes="split").codes == {"mixed-volumes": 10}


def test_an_image_type_may_change_once_within_a_volume(write_series, ingest):
    """GE's head CT: the posterior fossa is ORIGINAL, PRIMARY, AXIAL, ADD; what is above is not."""

    def change(data, index):
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "ADD"][: 4 - (index > 2)]

    write_series(6, change=change)
    assert len(ingest().samples) == 1


@pytest.mark.parametrize("mark", ["echo", "b-value", "direction", "phase", "delay", "component"])
def test_frames_of_one_file_are_told_apart_by_their_groups(write_series, ingest, mark):
    places = [(v, p) for p in range(POSITIONS) for v in range(2)]
    random.Random(3).shuffle(places)

    def sequence(keyword, name, value):
        item = Dataset()
        setattr(item, name, value)
        return keyword, Sequence([item])

    def group(volume, position):
        found = Dataset()
        where = Dataset()
        where.ImagePositionPatient = [0, 0, 2.0 * position]
        found.PlanePositionSequence = Sequence([where])
        direction = sequence(
            "DiffusionGradientDirectionSequence",
            "DiffusionGradientOrientation",
            [0.0, 1.0 - volume, 1.0 * volume],
        )
        keyword, items = {
            "echo": sequence("MREchoSequence", "EffectiveEchoTime", 10.0 + 20 * volume),
            "b-value": sequence("MRDiffusionSequence", "DiffusionBValue", 1000.0 * volume),
            "direction": sequence("MRDiffusionSequence", *direction),
            "phase": sequence("FrameContentSequence", "TemporalPositionIndex", volume + 1),
            "delay": sequence(
                "CardiacSynchronizationSequence",
                "NominalCardiacTriggerDelayTime",
                40.0 * volume + position,
            ),
            "component": sequence(
                "MRImageFrameTypeSequence",
                "ComplexImageComponent",
                ("MAGNITUDE", "PHASE")[volume],
            ),
        }[mark]
        setattr(found, keyword, items)
        return found

    def change(data, index):
        data.SOPClassUID, data.Modality = EnhancedMRImageStorage, "MR"
        shared, orientation, measures = Dataset(), Dataset(), Dataset()
        orientation.ImageOrientationPatient = data.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = data.PixelSpacing, 2
        shared.PlaneOrientationSequence = Sequence([orientation])
        shared.PixelMeasuresSequence = Sequence([measures])
        data.SharedFunctionalGroupsSequence = Sequence([shared])
        data.PerFrameFunctionalGroupsSequence = Sequence([group(*place) for place in places])
        data.NumberOfFrames = len(places)
        planes = [np.full((4, 6), 1000 * (v + 1) + p, "<u2").tobytes() for v, p in places]
        data.PixelData, data.RescaleIntercept = b"".join(planes), 0

    write_series(1, change=change)
    found = stacks(ingest(volumes="split"))
    assert sorted(found) == expected(2)
    assert mark == "direction" or found == expected(2)
