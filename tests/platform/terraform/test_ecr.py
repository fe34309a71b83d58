"""The registry: which images its lifecycle removes, by ECR's own rules of evaluation."""

import fnmatch
import json
from dataclasses import dataclass, field

FOLDER = "modules/ecr"
SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Image:
    age: int
    tags: list = field(default_factory=list)


def expired(policy, images):
    """An image is expired by at most one rule, and by none after the first whose tags it matches; the youngest count first. A
    rule counts those that an earlier rule keeps, too."""
    gone, decided = [], []
    for rule in sorted(policy["rules"], key=lambda rule: rule["rulePriority"]):
        chosen = rule["selection"]
        found = sorted((image for image in images if selects(chosen, image)), key=lambda image: image.age)
        if chosen["countType"] == "imageCountMoreThan":
            old = found[chosen["countNumber"] :]
        else:
            old = [image for image in found if image.age > chosen["countNumber"]]
        gone += [image for image in old if image not in decided]
        decided += [image for image in found if image not in decided]
    return gone


def selects(chosen, image):
    if chosen["tagStatus"] == "untagged":
        return not image.tags
    patterns = chosen["tagPatternList"]
    return bool(image.tags) and all(any(fnmatch.fnmatchcase(tag, pattern) for tag in image.tags) for pattern in patterns)


def lifecycle(tested, run):
    return json.loads(tested[f"ecr/{run}"].one("aws_ecr_lifecycle_policy")["policy"])


def test_deployed_images_stay_however_old_and_many(tested):
    policy = lifecycle(tested, "example")
    years = 365 * 20
    production = [Image(years + n, [f"{n:040x}", f"production-{n:040x}"]) for n in range(600)]
    staging = [Image(years + n, [f"{n:040x}", f"staging-{n:040x}"]) for n in range(600, 1200)]
    both = [Image(years, [SHA, f"staging-{SHA}", f"production-{SHA}"])]
    newer = [Image(n, [f"{n:040x}"]) for n in range(2000)]
    assert not [image for image in expired(policy, [*production, *staging, *both, *newer]) if image not in newer]


def test_signatures_and_other_untagged_images_are_left_alone(tested):
    assert not expired(lifecycle(tested, "example"), [Image(365 * 20) for _ in range(1000)])


def test_of_images_that_were_never_deployed_the_newest_stay(tested):
    images = [Image(age, [f"{age:040x}"]) for age in range(510)]
    assert expired(lifecycle(tested, "example"), images) == images[500:]


def test_without_a_limit_nothing_is_removed(tested):
    assert not expired(lifecycle(tested, "kept_and_shared"), [Image(age, [f"{age:040x}"]) for age in range(2000)])


def test_one_rule_an_environment(tested):
    """The patterns of one rule all have to match: an image has seldom been to both."""
    rules = [rule["selection"] for rule in lifecycle(tested, "example")["rules"]]
    assert all(len(selection["tagPatternList"]) == 1 for selection in rules)
