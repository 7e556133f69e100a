// Says in the page why there will be no camera, or nothing.
async () => {
  if (!window.isSecureContext)
    return "**No camera on this page.** Browsers give a page the camera only over https, or on " +
      "the computer that runs it (http://localhost). Photos work without.";
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia)
    return "**No camera in this browser.** Photos work without.";
  try {
    const permission = await navigator.permissions.query({ name: "camera" });
    if (permission.state === "denied")
      return "**The camera is blocked for this page.** Allow it beside the address, then load " +
        "the page again. Photos work without.";
  } catch { /* not every browser can be asked */ }
  const devices = await navigator.mediaDevices.enumerateDevices();
  if (!devices.some((device) => device.kind === "videoinput"))
    return "**No camera found.** Connect one and load the page again. Photos work without.";
  return "";
}
