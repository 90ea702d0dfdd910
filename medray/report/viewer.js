// Leafs through volumes in three planes. Data stand in the page; nothing is asked of anywhere else.
"use strict";

// Of each plane: the axes that lie across and down, the one that is leafed through, and the letters
// at its left, right, top and bottom. Heads are up, so planes that show them are drawn from below.
const PLANES = {
  axial: { across: 2, down: 1, through: 0, up: false, letters: "RLAP" },
  coronal: { across: 2, down: 0, through: 1, up: true, letters: "RLSI" },
  sagittal: { across: 1, down: 0, through: 2, up: true, letters: "APSI" },
};
const FILL = 0.4;

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function show(viewer) {
  const told = JSON.parse(viewer.dataset.volume);
  const all = await unpacked(viewer.dataset.voxels);
  const [depth, height, width] = told.shape;
  const count = depth * height * width;
  const strides = [height * width, width, 1];
  const masks = told.masks.map((_, at) => all.subarray((2 + at) * count, (3 + at) * count));
  const inputs = (name) => viewer.querySelector(`[data-set="${name}"]`);
  const [level, span] = [inputs("level"), inputs("width")];
  const toggles = told.masks.map((_, at) => inputs(`mask-${at}`));

  function draw(figure) {
    const plane = PLANES[figure.dataset.plane];
    const slider = figure.querySelector("input");
    const canvas = figure.querySelector("canvas");
    const [columns, rows] = [told.shape[plane.across], told.shape[plane.down]];
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(columns, rows);
    const low = Number(level.value) - Number(span.value) / 2;
    const start = Number(slider.value) * strides[plane.through];
    for (let row = 0; row < rows; row++) {
      const line = start + (plane.up ? rows - 1 - row : row) * strides[plane.down];
      for (let column = 0; column < columns; column++) {
        const at = line + column * strides[plane.across];
        const value = told.slope * (all[at] + 256 * all[count + at]) + told.intercept;
        const grey = Math.min(255, Math.max(0, (255 * (value - low)) / Number(span.value)));
        const pixel = [grey, grey, grey];
        masks.forEach((mask, number) => {
          if (mask[at] && toggles[number].checked) {
            const colour = told.colours[(mask[at] - 1) % told.colours.length];
            pixel.forEach((one, part) => (pixel[part] = one + FILL * (colour[part] - one)));
          }
        });
        picture.data.set([...pixel.map(Math.round), 255], 4 * (row * columns + column));
      }
    }
    context.putImageData(picture, 0, 0);
    figure.querySelector("output").textContent = `${Number(slider.value) + 1} / ${slider.max * 1 + 1}`;
  }

  const figures = [...viewer.querySelectorAll("[data-plane]")];
  function drawAll() {
    inputs("said").textContent = `level ${Math.round(level.value)}, width ${Math.round(span.value)}`;
    figures.forEach(draw);
  }
  for (const figure of figures) {
    const plane = PLANES[figure.dataset.plane];
    const sides = told.lettered ? plane.letters : "    ";
    ["left", "right", "top", "bottom"].forEach((side, at) => {
      figure.querySelector(`.${side}`).textContent = sides[at];
    });
    const [wide, high] = [plane.across, plane.down].map((axis) => told.shape[axis] * told.sizes[axis]);
    figure.querySelector("canvas").style.aspectRatio = `${wide} / ${high}`;
    const slider = figure.querySelector("input");
    slider.max = told.shape[plane.through] - 1;
    slider.value = told.at[plane.through];
    slider.addEventListener("input", () => draw(figure));
    slider.disabled = false;
  }
  for (const one of [level, span, ...toggles]) {
    one.addEventListener("input", drawAll);
    one.disabled = false;
  }
  drawAll();
  viewer.dataset.ready = "yes";
}

document.querySelectorAll(".viewer").forEach((viewer) => {
  show(viewer).catch((error) => {
    viewer.dataset.ready = "no";
    viewer.querySelector('[data-set="said"]').textContent = `cannot be shown here: ${error.message}`;
  });
});
