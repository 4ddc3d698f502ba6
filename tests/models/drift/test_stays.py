from models.drift.stays import LONGEST, effective


def test_faces_of_different_people_count_each() -> None:
    assert effective(list(range(100))) == 100


def test_a_stay_counts_as_one() -> None:
    assert effective([1] * LONGEST) == 1
    assert effective([1, 1, 1, 2, 2, 2]) == 2
    assert effective([]) == 0


def test_a_long_stay_counts_for_more_and_an_uneven_one_for_less() -> None:
    assert effective([1] * 4 * LONGEST) == 4
    assert 1 < effective([1] * LONGEST + [2]) < 1.2
