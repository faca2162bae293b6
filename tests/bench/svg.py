"""The benchmark's plot: callbacks a second and latency against connections, and SQLite's rate
against the events of a transaction. Plain SVG, drawn here, readable on white and on dark."""

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 56, 56
COLOURS = {"orderhookd": "#1f6feb", "SQLite alone": "#8250df", "bare HTTP echo": "#bc4c00",
           "p50": "#1a7f37", "p99": "#cf222e"}


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
            out.append(f'<text x="{px:.1f}" y="{HEIGHT - BOTTOM + 18}" '
                       f'text-anchor="middle">{x}</text>')
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


def write(path, results, machine):
    counts = [1, 4, 16, 64, 128, 256, 512, 1000]
    ours = series(results, "orderhookd {}", counts, "per_second")
    echo = series(results, "echo {}", counts, "per_second")
    alone = series(results, "sqlite {}", [1, 16, 64, 256, 512], "per_second")
    if not ours:
        return
    xs = [x for x, _ in ours]
    echo = [(x, y) for x, y in echo if x in xs]
    width = (WIDTH - 3 * LEFT - RIGHT) / 3
    rate_top = round_up(max(y for _, y in ours + echo))
    rates = Panel(LEFT, width, "durable callbacks a second", xs, rate_top, "connections")
    p99 = series(results, "orderhookd {}", counts, "p99_us")
    latency = Panel(2 * LEFT + width, width, "latency, µs", xs,
                    round_up(max(y for _, y in p99)), "connections")
    out = rates.frame() + rates.line("orderhookd", ours, 0)
    if echo:
        out += rates.line("bare HTTP echo", echo, 90)
    out += latency.frame() + latency.line("p99", p99, 40)
    out += latency.line("p50", series(results, "orderhookd {}", counts, "p50_us"), 0)
    if alone:
        panel = Panel(3 * LEFT + 2 * width, width, "SQLite alone, events a second",
                      [x for x, _ in alone], round_up(max(y for _, y in alone)),
                      "events in a transaction")
        out += panel.frame() + panel.line("SQLite alone", alone, 0)
    with open(path, "w") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
                f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11" '
                f'fill="#57606a">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
                + "\n".join(out)
                + f'\n<text x="{LEFT}" y="{HEIGHT - 2}" font-size="9">{machine}</text>\n</svg>\n')
