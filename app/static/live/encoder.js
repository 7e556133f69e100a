// Pictures to JPEG, in a worker: on the page's own thread, browsers put it off until nothing else is to do.

let canvas = null;

self.onmessage = async ({ data: { picture, quality } }) => {
  const width = picture.displayWidth ?? picture.width, height = picture.displayHeight ?? picture.height;
  if (canvas?.width !== width || canvas?.height !== height) canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d", { alpha: false, willReadFrequently: true }).drawImage(picture, 0, 0, width, height);
  picture.close();
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality });
  const bytes = await blob.arrayBuffer();
  self.postMessage(bytes, [bytes]);
};
