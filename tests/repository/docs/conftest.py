"""Markers of tests that the quick tier leaves out."""


def pytest_configure(config):
    config.addinivalue_line("markers", "helm: needs helm; the suite `chart` runs it")
    config.addinivalue_line("markers", "vale: needs vale; the suite `prose` runs it")
