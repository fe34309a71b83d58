"""The tag of an image."""


def test_it_is_the_full_commit(source):
    commit = source.merge("Change something")
    assert source.run(commit).prints("tag") == commit


def test_uncommitted_changes_have_no_tag(source):
    run = source.run(source.merge("Change something"))
    (run.directory / "new").touch()
    assert "?? new" in run.error("tag")
    (run.directory / "new").unlink()
    (run.directory / "Dockerfile").write_text("FROM scratch\n")
    assert "M Dockerfile" in run.error("tag")


def test_each_program_checks_its_arguments(source):
    run = source.run(source.merge("Change something"))
    programs = [file for file in (run.directory / "scripts/release").iterdir() if not file.suffix and file.is_file()]
    assert len(programs) >= 9
    for program in programs:
        assert "usage: " in run.prints(program.name, "--help")
        if program.name not in ("integration-tests", "publish"):
            run.error(program.name, "too", "many", "arguments", "for", "any", code=2)
