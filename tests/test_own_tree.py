"""Another disk, another tree: nothing is concluded from what it lacks, and everybody is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from lived_in import picture, renew, run
from shared_files import lay, snapshot_path

from pano_analytics import doctor, status
from pano_analytics.cli import pano
from pano_analytics.errors import UploadTreeError
from pano_analytics.library import Library
from pano_analytics.service.supervise import problems as supervised
from pano_analytics.settings import Settings, check
from pano_analytics.site.run import update
from pano_analytics.store import own_tree
from pano_analytics.store.storage import Storage
from pano_analytics.store.tree import MARKER, Doomed, PathStatus, Tree
from pano_analytics.upkeep import culling
from pano_analytics.upkeep.culling import adopt

NOON = datetime.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=12)


def lay_days(root: Path, days: int, camera: str = "porch", count: int = 3) -> list[Path]:
    moments = [
        NOON - timedelta(days=day, minutes=minute) for day in range(days) for minute in range(count)
    ]
    return [
        lay(picture(number, (64, 36)), root / snapshot_path(camera, moment), moment)
        for number, moment in enumerate(moments)
    ]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of a library that knows twelve uploads of four days."""
    settings = check({"zone": "UTC"}).model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )
    lay_days(tmp_path / "uploads", 4)
    run(settings)
    return settings


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Library.of(settings).storage


def states(settings: Settings) -> dict[str, int]:
    counted = Library.of(settings).media().state.astype(str).value_counts()
    return {str(state): int(count) for state, count in counted.items()}


def words(settings: Settings) -> set[str]:
    return {one["what"] for one in status.collect(settings)["problems"]}


def bare(root: Path) -> None:
    """Take the disk away; what is mounted there has been formatted."""
    root.rename(root.parent / "disk")
    (root / "lost+found").mkdir(parents=True)


def another_home(root: Path) -> None:
    """Mount another disk, with uploads of other cameras."""
    root.rename(root.parent / "disk")
    lay_days(root, 9, "attic")


def mostly_deleted(root: Path) -> None:
    """Let somebody delete most files and leave their folders, with something in each."""
    for path in sorted(root.rglob("*.jpg"))[:9]:
        path.unlink()
        (path.parent / "ransom.txt").write_text("pay")


STRANGE = [bare, another_home, mostly_deleted]


@pytest.mark.parametrize("change", STRANGE)
@pytest.mark.parametrize("is_adopted", [False, True])
def test_nothing_is_concluded_and_everybody_is_told(
    settings: Settings, root: Path, tmp_path: Path, change: Callable[[Path], None], is_adopted: bool
) -> None:
    """With a marker or without: no row is missing, no page goes, and no upload is taken in."""
    update(settings, tmp_path / "site")
    pages = sorted((tmp_path / "site").rglob("*"))
    if is_adopted:
        adopt(settings)
    change(root)
    with pytest.raises(UploadTreeError, match=r"expected the uploads.*--accept-tree") as told:
        run(settings)
    assert told.value.exit_code == 3
    with pytest.raises(
        UploadTreeError, match=r"checked uploads|the folder is empty|there are none"
    ):
        renew(settings)
    with pytest.raises(UploadTreeError, match=r"checked uploads|the folder is empty"):
        update(settings, tmp_path / "site", is_full=True)
    assert states(settings) == {"complete": 12}
    assert sorted((tmp_path / "site").rglob("*")) == pages
    assert words(settings) >= {"uploads_strange", "last_run_failed"}
    assert "uploads_strange" in set(doctor.examine(Library.of(settings)).word)
    assert "uploads_strange" in {one["what"] for one in supervised.find(settings, 60.0)}


def test_the_right_disk_again_heals(settings: Settings, root: Path) -> None:
    """Mounted again, all is as before."""
    bare(root)
    with pytest.raises(UploadTreeError):
        run(settings)
    shutil.rmtree(root)
    (root.parent / "disk").rename(root)
    assert run(settings).tally.total == 0
    assert words(settings) == set()


@pytest.mark.parametrize("change", STRANGE)
def test_an_owner_may_say_that_it_is_meant(
    settings: Settings, root: Path, change: Callable[[Path], None]
) -> None:
    """`pano ingest --accept-tree`, once: what is not there is missing from then on."""
    change(root)
    (root / "porch").mkdir(exist_ok=True)
    lay(picture(99), root / snapshot_path("porch", NOON, 7))
    where = ["--uploads", str(root), "--library", str(settings.library)]
    done = CliRunner().invoke(pano, ["ingest", "--accept-tree", *where])
    assert done.exit_code == 0, done.output
    assert states(settings)["missing"] == (9 if change is mostly_deleted else 12)
    assert run(settings).tally.total == 0
    assert "uploads_strange" not in words(settings)


def test_an_empty_tree_can_be_meant_too(settings: Settings, root: Path) -> None:
    """Said on purpose, all uploads are missing; without that nothing is."""
    shutil.rmtree(root)
    root.mkdir()
    with pytest.raises(UploadTreeError, match="the folder is empty"):
        run(settings)
    assert run(settings, accept_tree=True).tally.missing == 12
    assert states(settings) == {"missing": 12}


def test_another_disk_of_this_kind_has_another_marker(settings: Settings, root: Path) -> None:
    """A clone of the uploads that another library adopted is refused by its marker alone."""
    adopt(settings)
    (root / MARKER).write_text(
        (root / MARKER).read_text().replace('"identity": "', '"identity": "0')
    )
    with pytest.raises(UploadTreeError, match=r"marker.*another"):
        run(settings)
    assert "uploads_strange" in words(settings)


def test_a_lost_marker_is_told_and_uploads_go_on(settings: Settings, root: Path) -> None:
    """The uploads themselves tell the tree; only culling waits."""
    adopt(settings)
    (root / MARKER).unlink()
    lay(picture(50), root / snapshot_path("porch", NOON, 5))
    assert run(settings).tally.new == 1
    assert words(settings) == {"marker_missing"}
    adopt(settings)
    assert words(settings) == set()


def test_a_library_belongs_to_its_tree(settings: Settings, tmp_path: Path) -> None:
    """Another folder is refused before anything changes; the same uploads elsewhere are not."""
    lay_days(tmp_path / "other", 9, "attic")
    other = settings.model_copy(update={"uploads": tmp_path / "other"})
    before = {path: path.read_bytes() for path in (tmp_path / "library").glob("*.json")}
    with pytest.raises(UploadTreeError, match="For another tree, use another library"):
        run(other)
    assert before == {path: path.read_bytes() for path in (tmp_path / "library").glob("*.json")}
    (tmp_path / "uploads").rename(tmp_path / "moved")
    moved = settings.model_copy(update={"uploads": tmp_path / "moved"})
    assert run(moved, is_full=True).tally.total == 0


def test_a_few_that_went_are_missing(settings: Settings, root: Path) -> None:
    """What an owner deletes by hand, up to the half, needs no question."""
    for path in sorted(root.rglob("*.jpg"))[:6]:
        path.unlink()
    assert run(settings).tally.missing == 6


def test_a_renamed_upload_is_there(tmp_path: Path) -> None:
    """A camera renames what it uploaded; that alone makes no tree strange."""
    settings = check({"zone": "UTC"}).model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )
    path = lay_days(tmp_path / "uploads", 1, count=1)[0]
    run(settings)
    path.rename(path.with_name(path.name.replace("[0].jpg", "[3].jpg")))
    assert run(settings).tally.total == 2


def test_it_costs_little(
    settings: Settings, storage: Storage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked before each run, it looks at a few hundred files at most, spread over all days."""
    lay_days(root, 20, "yard", 30)
    run(settings, is_inspecting=False)
    looked_at: list[str] = []
    look = Tree.look

    def counting(tree: Tree, files: Iterable[Doomed]) -> Iterator[tuple[Doomed, PathStatus]]:
        asked = list(files)
        looked_at.extend(file.path for file in asked)
        return look(tree, asked)

    monkeypatch.setattr(Tree, "look", counting)
    own_tree.require(storage, root)
    assert 100 < len(looked_at) <= 200
    assert len({path.split("/")[2] for path in looked_at}) >= 6


def test_nothing_is_culled_from_a_strange_tree(settings: Settings, root: Path) -> None:
    """The marker may be right: where most uploads are gone, the rest is not deleted either."""
    adopt(settings)
    mostly_deleted(root)
    left = sorted(root.rglob("*.jpg"))
    with pytest.raises(UploadTreeError, match=r"checked uploads are missing.*--accept-tree"):
        culling.cull(settings.model_copy(update={"keep_days": 1}))
    assert sorted(root.rglob("*.jpg")) == left


def test_the_plan_says_that_the_tree_is_strange(settings: Settings, root: Path) -> None:
    """Nothing would go, and that is not because nothing is old enough."""
    bare(root)
    own = ["--uploads", str(root), "--library", str(settings.library)]
    for more in ([], ["--json"]):
        done = CliRunner().invoke(pano, ["cull", *own, *more])
        assert isinstance(done.exception, own_tree.StrangeTree)
        assert done.exception.exit_code == 3
        assert "12 of 12 checked uploads are missing" in str(done.exception)
        assert "0 files" not in done.output


def test_the_library_plans_nothing_for_a_strange_tree(settings: Settings, root: Path) -> None:
    """A notebook is refused as the command is: an empty plan would look like an answer."""
    mostly_deleted(root)
    for where in (settings, Library.of(settings)):
        with pytest.raises(own_tree.StrangeTree, match="checked uploads are missing"):
            culling.plan(where)
