// A page to draw on with mouse, finger or pen: strokes of points, in pixels of the page that the server draws.

const { width, height, pen, finePen } = document.body.dataset;
export const PAGE = { width: Number(width), height: Number(height) };
const PENS = { character: Number(pen), page: Number(finePen) };

export class Pad {
  // `changed(isDrawing)` is called after each change, while the pen moves, too.
  constructor(root, changed) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.changed = changed;
    this.mode = "character";
    this.strokes = [];
    this.pointer = null;
    this.hasPen = false; // then fingers and the palm do not draw
    this.isLocked = false; // nothing is drawn, as while a drawing is being saved
    const listen = (name, handle) => this.canvas.addEventListener(name, handle);
    listen("pointerdown", event => this.begin(event));
    listen("pointermove", event => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) listen(name, event => this.end(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    this.paint();
  }

  get isEmpty() { return !this.strokes.length; }

  begin(event) {
    if (this.isLocked) return;
    const isPen = event.pointerType === "pen";
    if (isPen && this.pointer !== null && !this.hasPen) this.strokes.pop(); // the palm came first
    else if (this.pointer !== null || event.button > 0) return; // one finger, or the first button
    if (event.pointerType === "touch" && this.hasPen) return;
    this.hasPen ||= isPen;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.strokes.push([this.point(event)]);
    this.paint();
    this.changed(true);
  }

  move(event) {
    if (event.pointerId !== this.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    const stroke = this.strokes.at(-1);
    const before = stroke.length;
    for (const each of events.length ? events : [event]) {
      const [x, y] = this.point(each);
      if (Math.hypot(x - stroke.at(-1)[0], y - stroke.at(-1)[1]) >= 2) stroke.push([x, y]);
    }
    if (stroke.length === before) return;
    this.paint();
    this.changed(true);
  }

  end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.changed(false);
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const scaled = (at, start, length, pixels) => Math.round(10 * (at - start) / length * pixels) / 10;
    return [scaled(event.clientX, box.left, box.width, PAGE.width), scaled(event.clientY, box.top, box.height, PAGE.height)];
  }

  set(strokes) {
    this.strokes = strokes;
    this.pointer = null;
    this.paint();
    this.changed(false);
  }

  undo() { this.set(this.strokes.slice(0, -1)); }
  clear() { this.set([]); }

  paint() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, PAGE.width, PAGE.height);
    context.strokeStyle = getComputedStyle(this.canvas).color;
    context.lineWidth = PENS[this.mode];
    context.lineCap = context.lineJoin = "round";
    for (const [first, ...others] of this.strokes) {
      context.beginPath();
      context.moveTo(...first);
      for (const point of others.length ? others : [first]) context.lineTo(...point);
      context.stroke();
    }
    this.root.classList.toggle("drawn", !this.isEmpty);
  }
}
