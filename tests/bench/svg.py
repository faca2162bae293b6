"""The benchmark's plot: callbacks a second and latency against connections, against the size of a
batch and against the size of the store. Plain SVG, drawn here, readable on white and on dark."""

WIDTH, HEIGHT = 1180, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 56, 56
COLOURS = {"orderhookd": "#1f6feb", "SQLite alone": "#8250df", "bare HTTP echo": "#bc4c00",
           "p50": "#1a7f37", "p99": "#cf222e", "p99.9": "#953800"}
COUNTS = (1, 4, 16, 64, 128, 256, 512, 1000)
BATCHES = (1, 8, 16, 64, 256, 512)


class Panel:
    """One pair of axes; x is logarithmic in powers of two, y linear from 0."""

    def __init__(self, x, width, title, xs, top, unit):
        self.x, self.width, self.title, self.unit = x, width, title, unit
        self.xs, self.top = xs, top or 1

    def at(self, x, y):
        place = self.xs.index(x) / max(1, len(self.xs) - 1)
        return (self.x + place * self.width,
                HEIGHT - BOTTOM - y / self.top * (HEIGHT - TOP - BOTTOM))

    def frame(self):
        out = [f'<text x="{self.x}" y="{TOP - 30}" font-weight="bold">{self.title}</text>']
        for i in range(5):
            value = self.top * i / 4
            _, y = self.at(self.xs[0], value)
            out.append(f'<line x1="{self.x}" x2="{self.x + self.width}" y1="{y:.1f}" y2="{y:.1f}" '
                       'stroke="#8c959f" stroke-width="0.5"/>')
            out.append(f'<text x="{self.x - 6}" y="{y + 4:.1f}" text-anchor="end">'
                       f'{value:,.0f}</text>')
        for x in self.xs:
            px, _ = self.at(x, 0)
            label = f"{x // 1000000} M" if x >= 1000000 else x
            out.append(f'<text x="{px:.1f}" y="{HEIGHT - BOTTOM + 18}" '
                       f'text-anchor="middle">{label}</text>')
        out.append(f'<text x="{self.x + self.width / 2}" y="{HEIGHT - 16}" '
                   f'text-anchor="middle">{self.unit}</text>')
        return out

    def line(self, name, points, legend):
        colour = COLOURS[name]
        at = [self.at(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
        out.append(f'<text x="{self.x + legend}" y="{TOP - 12}" fill="{colour}">{name}</text>')
        return out


def series(results, pattern, keys, value):
    return [(k, results[pattern.format(k)][value]) for k in keys if pattern.format(k) in results]


def round_up(value):
    """The next 1, 2, 4, 6 or 8 times a power of ten: axis ends that divide by four."""
    power = 1
    while True:
        for step in (1, 2, 4, 6, 8):
            if step * power >= value:
                return step * power
        power *= 10


def panel(index, title, unit, lines):
    """lines: name to points; those without points are left out, as is a panel without lines."""
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return []
    width = (WIDTH - 4 * LEFT - RIGHT) / 4
    xs = sorted({x for points in lines.values() for x, _ in points})
    top = round_up(max(y for points in lines.values() for _, y in points))
    axes = Panel(LEFT + index * (LEFT + width), width, title, xs, top, unit)
    out = axes.frame()
    for i, (name, points) in enumerate(lines.items()):
        out += axes.line(name, points, i * width / len(lines))
    return out


def by_store(results, value):
    fill = results.get("fill", {}).get("events")
    pairs = ((0, "orderhookd 64"), (fill, "orderhookd 64, large store"))
    return [(x, results[name][value]) for x, name in pairs if x is not None and name in results]


def by_batch(results):
    """With 256 connections, so that a batch is as large as it may be; 512 is the default."""
    points = series(results, "orderhookd 256 batch_limit {}", BATCHES, "per_second")
    if points and "orderhookd 256" in results:
        points.append((512, results["orderhookd 256"]["per_second"]))
    return points


def write(path, results, machine):
    counted = {name: series(results, "orderhookd {}", COUNTS, key) for name, key in
               (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us"))}
    out = panel(0, "durable callbacks a second", "connections", {
        "orderhookd": series(results, "orderhookd {}", COUNTS, "per_second"),
        "bare HTTP echo": series(results, "echo {}", COUNTS, "per_second")})
    out += panel(1, "latency, µs", "connections", counted)
    out += panel(2, "a second, by size of a batch", "events in a transaction", {
        "orderhookd": by_batch(results),
        "SQLite alone": series(results, "sqlite {}", BATCHES, "per_second")})
    out += panel(3, "a second, by size of the store", "events in the store", {
        "orderhookd": by_store(results, "per_second")})
    with open(path, "w") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
                f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11" '
                f'fill="#57606a">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
                + "\n".join(out)
                + f'\n<text x="{LEFT}" y="{HEIGHT - 2}" font-size="9">{machine}</text>\n</svg>\n')
