// Draws the page of one study: unpacks what stands in it, hands it to NiiVue, and answers clicks and keys.
"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const data = JSON.parse(find("#data").textContent);
  const HU = 0, MASK = 1; // places among NiiVue's volumes; evidence, where there is some, comes last
  const layers = { mask: { on: true, at: MASK, opacity: 0.4 }, evidence: { on: true, at: 2, opacity: 0.7 } };
  const views = { axial: 0, coronal: 1, sagittal: 2, all: 3, render: 4 };
  const keys = { a: "axial", c: "coronal", s: "sagittal", v: "all", r: "render" };
  let scene = null, view = "all";

  async function unpacked(id) {
    const element = document.getElementById(id);
    if (!element) return null;
    const text = atob(element.textContent.trim());
    element.remove(); // the browser need not keep both
    const bytes = new Uint8Array(text.length);
    for (let k = 0; k < bytes.length; k++) bytes[k] = text.charCodeAt(k);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  async function loadNiiVue() {
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(await unpacked("niivue"));
    document.head.append(script);
    return window.niivue;
  }

  function colours() {
    // Clear at 0, so that only labels are drawn; NiiVue wants R, G, B, A by label.
    const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: data.names };
    for (const [value, [r, g, b]] of Object.entries(data.colours)) {
      table.R.push(r); table.G.push(g); table.B.push(b); table.A.push(255); table.I.push(Number(value));
    }
    return table;
  }

  async function start() {
    const { Niivue, NVImage } = await loadNiiVue();
    scene = new Niivue({
      isRadiologicalConvention: true, sagittalNoseLeft: true, multiplanarShowRender: 1, multiplanarLayout: 2,
      backColor: [0, 0, 0, 1], crosshairColor: [0.42, 0.71, 1, 0.7], crosshairWidth: 0.5, crosshairWidthUnit: "mm", crosshairGap: 8, show3Dcrosshair: true, dragMode: 9,
      clipPlaneHotKey: "", viewModeHotKey: "", cycleClipPlaneHotKey: "", dragAndDropEnabled: false, loadingText: "",
      isOrientCube: false, fontSizeScaling: 0.5, fontMinPx: 15, logLevel: "error",
    });
    scene.onLocationChange = showPlace;
    await scene.attachToCanvas(find("#scene"));
    const [low, high] = data.window;
    // Bone alone in 3D: soft tissue is clear there, and grey in the slices.
    scene.addColormap("bone window", { R: [0, 85, 255], G: [0, 85, 248], B: [0, 85, 235], A: [0, 0, 90], I: [0, 85, 255] });
    const volume = (buffer, name, map, opacity, min, max) =>
      NVImage.new(buffer, name, map, opacity, null, min, max, true, 0, false, false, "", 0, undefined, NaN, NaN, false);
    scene.addVolume(await volume(await unpacked("scan"), "scan.nii", "bone window", 1, low, high));
    const mask = await volume(await unpacked("mask"), "mask.nii", "gray", layers.mask.opacity, 0, 8);
    mask.setColormapLabel(colours());
    scene.addVolume(mask);
    const evidence = await unpacked("evidence");
    if (evidence) scene.addVolume(await volume(evidence, "evidence.nii", "warm", layers.evidence.opacity, data.evidence_from, 1));
    if (isSlow()) scene.opts.multiplanarShowRender = 0; // 3D is left to its own button
    scene.setRenderAzimuthElevation(120, 12);
    find("#waiting").hidden = true;
    find("#waiting").style.display = "none";
    setView("all");
    const first = find(".level.suspected:enabled") || find(".level:enabled");
    if (first) goTo(first.dataset.level);
  }

  function isSlow() {
    // Without a graphics card each picture of a large scan in 3D takes seconds.
    const info = scene.gl.getExtension("WEBGL_debug_renderer_info");
    const card = info ? scene.gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
    const [, x, y, z] = scene.volumes[HU].hdr.dims;
    return /swiftshader|llvmpipe|software/i.test(card) && x * y * z > 1.2e7;
  }

  function goTo(level) {
    const centre = data.levels[level];
    if (!centre || !scene) return;
    all(".level").forEach((chip) => chip.toggleAttribute("aria-current", chip.dataset.level === level));
    scene.scene.crosshairPos = scene.mm2frac(centre);
    scene.drawScene();
    scene.createOnLocationChange();
  }

  function showPlace(where) {
    const [x, y, z] = where.mm;
    const named = `${x < 0 ? "L" : "R"} ${Math.abs(x).toFixed(1)}, ${y < 0 ? "P" : "A"} ${Math.abs(y).toFixed(1)}, `
      + `${z < 0 ? "I" : "S"} ${Math.abs(z).toFixed(1)} mm`;
    const values = where.values.map((entry) => entry.value);
    const label = Math.round(values[MASK]);
    const parts = [named, `about ${Math.round(values[HU] / 10) * 10} HU`, label ? data.names[label] : "no vertebra"];
    if (values.length > 2) parts.push(`evidence ${values[2].toFixed(2)}`);
    const place = find("#place");
    place.textContent = parts.join(" · ");
    Object.assign(place.dataset, { x: x.toFixed(2), y: y.toFixed(2), z: z.toFixed(2) });
  }

  function setView(name) {
    if (!scene) return;
    view = name;
    all("#views button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.view === name)));
    scene.setSliceType(views[name]);
  }

  function showLayer(name) {
    const layer = layers[name], button = find(`button[data-layer=${name}]`);
    if (!scene || !button) return;
    button.setAttribute("aria-pressed", String(layer.on));
    scene.setOpacity(layer.at, layer.on ? layer.opacity : 0);
  }

  function toggle(name) {
    layers[name].on = !layers[name].on;
    showLayer(name);
  }

  function step(key) {
    const up = key === "ArrowUp" || key === "ArrowRight" ? 1 : -1;
    // Voxels of the picture run to the right, to the front and up; the patient's right is on the left of the screen.
    if (view === "axial") scene.moveCrosshairInVox(0, 0, up);
    else if (view === "coronal") scene.moveCrosshairInVox(0, up, 0);
    else if (view === "sagittal") scene.moveCrosshairInVox(-up, 0, 0);
    else if (key === "ArrowUp" || key === "ArrowDown") scene.moveCrosshairInVox(0, 0, up);
    else scene.moveCrosshairInVox(-up, 0, 0);
  }

  function onKey(event) {
    if (!scene || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const key = event.key.toLowerCase();
    if (key >= "1" && key <= "7" && key.length === 1) goTo(`C${key}`);
    else if (key in keys) setView(keys[key]);
    else if (key === "m") toggle("mask");
    else if (key === "e") toggle("evidence");
    else if (event.key.startsWith("Arrow")) step(event.key);
    else return;
    event.preventDefault();
    event.stopPropagation(); // NiiVue has keys of its own
  }

  function beforePrint() {
    if (!scene) return;
    scene.drawScene();
    const from = find("#scene"), to = find("#printed");
    [to.width, to.height] = [from.width, from.height];
    to.getContext("2d").drawImage(from, 0, 0);
  }

  all(".level").forEach((chip) => chip.addEventListener("click", () => goTo(chip.dataset.level)));
  all("#views button").forEach((button) => button.addEventListener("click", () => setView(button.dataset.view)));
  all("button[data-layer]").forEach((button) => button.addEventListener("click", () => toggle(button.dataset.layer)));
  all("input[data-layer]").forEach((input) => input.addEventListener("input", () => {
    Object.assign(layers[input.dataset.layer], { on: true, opacity: input.value / 100 });
    showLayer(input.dataset.layer);
  }));
  find("#print").addEventListener("click", () => window.print());
  document.addEventListener("keydown", onKey, true);
  window.addEventListener("beforeprint", beforePrint);
  start().catch((error) => {
    find("#waiting").textContent = `This browser can't show the scan (it needs WebGL 2 and DecompressionStream): ${error.message}. `
      + "The words on this page hold all the same; preview.png beside it is a picture.";
  });
})();
