"""What surrounds the spine is where it belongs and has the HU of its tissue."""

import dataclasses

import numpy as np
import pytest

from common.phantom.anatomy.column import Column
from common.phantom.anatomy.person import Person, make_person
from common.phantom.anatomy.posture import make_column
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.surroundings import paint_surroundings
from common.phantom.painting.surroundings.canal import CORD
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.elliptic_tube import EllipticTube
from common.phantom.painting.surroundings.neck import Neck
from common.phantom.painting.surroundings.shapes import capsule, ellipsoid
from common.volume import Grid


def painted(person: Person, column: Column, **changes: float) -> Canvas:
    canvas = Canvas.filled(Grid.around(np.array([0, 6, -12]), np.array([180, 180, 186]), np.array([1.4, 1.4, 2.0])))
    paint_surroundings(canvas, column, dataclasses.replace(person, **changes))
    return canvas


def at(canvas: Canvas, world: np.ndarray) -> np.ndarray:
    index = np.round(canvas.grid.to_index(world)).astype(int)
    return canvas.hu[tuple(np.moveaxis(index, -1, 0))]


@pytest.fixture(scope="module")
def person() -> Person:
    drawn = make_person(3, 4)
    return dataclasses.replace(drawn, contrast=0.0, size=1.0, fatness=0.5, lateral_bend=2.0, rotation=3.0, flexion=0.0)


@pytest.fixture(scope="module")
def column(person: Person) -> Column:
    return make_column(person)


@pytest.fixture(scope="module")
def canvas(person: Person, column: Column) -> Canvas:
    return painted(person, column)


def test_trachea_holds_air_and_the_cord_lies_in_the_canal(canvas: Canvas, column: Column, person: Person) -> None:
    neck = Neck(CoarseGrid(canvas, 1.5, 2.0), column, person)
    trachea = at(canvas, neck.world(np.array([7.0, 7.5, 8.0]), np.zeros(3), np.array([21.5, 22, 23])))
    assert np.median(trachea) < -900
    for name in list(CORD)[1:7]:
        posed = column.bones[name]
        middle, edge = posed.bone.landmarks["canal"], posed.bone.size["canal_width"] / 2
        assert 15 < at(canvas, posed.to_world(middle)) < 60
        assert at(canvas, posed.to_world(np.add(middle, (edge - 0.8, 0, 0)))) < 15  # fat or water beside the cord


def test_outside_is_air_below_the_skin_is_fat(canvas: Canvas, column: Column) -> None:
    assert (canvas.hu[0, -1] < -900).all()
    _, ahead, level = canvas.grid.to_index(column.centre("C1")).astype(int)
    plane = canvas.hu[:, :, level]
    row = plane[:, ahead]
    skin = int(np.flatnonzero(row > -500)[0])
    assert np.median(row[skin + 2 : skin + 5]) == pytest.approx(-105, abs=20)
    muscle = (plane > 20) & (plane < 90)
    assert muscle.mean() > 0.15


def test_condyles_leave_the_joint_free(canvas: Canvas, column: Column) -> None:
    atlas = column.bones["C1"]
    window = canvas.window(*atlas.world_bounds())
    inside = atlas.bone.distance(atlas.to_local(canvas.points(window))) < -0.8
    bony = canvas.hu[window] > 500
    assert (inside & bony).sum() * np.prod(canvas.grid.spacing) < 25
    seat = atlas.to_world(atlas.bone.landmarks["facet_superior_left"] + np.array([0, 0, 4.5]))
    assert at(canvas, seat) > 200


def test_the_same_person_gives_the_same_picture(canvas: Canvas, person: Person, column: Column) -> None:
    np.testing.assert_array_equal(painted(person, column).hu, canvas.hu)


def test_contrast_raises_vessels_alone(canvas: Canvas, person: Person, column: Column) -> None:
    change = painted(person, column, contrast=200.0).hu - canvas.hu
    assert change.min() > -1 and change.max() <= 200.5
    assert 0.0005 < (change > 50).mean() < 0.03
    assert change[canvas.hu > 400].max() < 30 or (change[canvas.hu > 400] > 30).mean() < 0.01


@pytest.mark.parametrize(("low", "high"), [(-90, -30), (20, 60), (-20, 10)])
def test_partial_coverage_is_painted(person: Person, column: Column, low: float, high: float) -> None:
    grid = Grid.around(np.array([0, 0, (low + high) / 2]), np.array([150, 150, high - low]), np.array([2.5, 2.5, 2.5]))
    canvas = Canvas.filled(grid)
    paint_surroundings(canvas, column, person)
    assert np.isfinite(canvas.hu).all()
    assert (canvas.hu > 0).any()


def test_a_painted_ball_has_its_volume() -> None:
    canvas = Canvas.filled(Grid.around(np.zeros(3), np.full(3, 40), np.array([0.8, 0.8, 1.0])), hu=0.0)
    coarse = CoarseGrid(canvas, 1.6, 2.0)
    distance = ellipsoid(coarse.points(coarse.whole), np.zeros(3), np.full(3, 12.0))
    coarse.paint(coarse.whole, distance, 1.0)
    assert canvas.hu.sum() * np.prod(canvas.grid.spacing) == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.02)


def test_distances_by_hand() -> None:
    points = [np.array([value], np.float32) for value in (0.0, 3.0, 4.0)]
    assert capsule(points, (0, 0, -10), (0, 0, 10), 2.0)[0] == pytest.approx(1.0)
    assert capsule(points, (0, 0, 0), (0, 0, 0), 2.0)[0] == pytest.approx(3.0)
    assert ellipsoid(points, (0, 0, 0), (4, 4, 4))[0] == pytest.approx(1.0, abs=1e-4)


def test_a_bundle_is_an_ellipse_in_section(person: Person, column: Column) -> None:
    canvas = Canvas.filled(Grid.around(column.centre("C5"), np.array([60, 60, 4]), np.ones(3)))
    neck = Neck(CoarseGrid(canvas, 1.0), column, person)
    neck.__dict__["uv"] = (
        neck.coarse.axes[0] + np.zeros(neck.coarse.shape),
        neck.coarse.axes[1] + np.zeros(neck.coarse.shape),
    )
    at_middle = canvas.grid.centre
    bundle = EllipticTube.of((3, *at_middle[:2], 12, 6, 0), (8, *at_middle[:2], 12, 6, 0))
    inside = bundle.distance_in(neck, neck.coarse.whole)[:, :, 2] < 0
    assert inside.sum() == pytest.approx(np.pi * 12 * 6, rel=0.03)
