export default {
  input: "../../docs/openapi.json",
  output: { path: "src", importFileExtension: ".js" },
  plugins: [{ name: "@hey-api/client-fetch", exportFromIndex: true }, "@hey-api/typescript", "@hey-api/sdk"],
};
