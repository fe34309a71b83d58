"""The formula RSS = base + connections × a + waiting calls × b."""


def fit(points):
    """Returns base, a and b in KiB, by least squares."""
    rows = [(1, point["connections"], point["waiting"]) for point in points]
    matrix = [[sum(row[i] * row[j] for row in rows) for j in range(3)] + [sum(row[i] * point["kib"] for row, point in zip(rows, points))] for i in range(3)]
    for column in range(3):
        pivot = max(range(column, 3), key=lambda row: abs(matrix[row][column]))
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        for row in range(3):
            if row != column:
                factor = matrix[row][column] / matrix[column][column]
                matrix[row] = [one - factor * other for one, other in zip(matrix[row], matrix[column])]
    return tuple(matrix[row][3] / matrix[row][row] for row in range(3))


def needed_mib(fitted, connections, waiting):
    """Returns the memory by the formula."""
    base, per_connection, per_call = fitted
    return (base + connections * per_connection + waiting * per_call) / 1024
