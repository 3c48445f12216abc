// The API as Swagger UI shows it, from this server. It is heavy, so it is a page
// of its own and its script comes after the frame is painted.
import "swagger-ui-dist/swagger-ui.css";
import "../theme/base.css";
import "./docs.css";

const box = document.createElement("main");
document.body.append(box);

const { default: SwaggerUI } = await import("swagger-ui-dist/swagger-ui-es-bundle.js");
SwaggerUI({
  url: "/openapi.json",
  domNode: box,
  deepLinking: true,
  persistAuthorization: false, // a token stays out of the browser's storage
  validatorUrl: null, // asks nobody else about our document
});
