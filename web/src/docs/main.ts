import "swagger-ui-dist/swagger-ui.css";

const { default: SwaggerUI } = await import("swagger-ui-dist/swagger-ui-es-bundle.js");
SwaggerUI({ url: "/openapi.json", domNode: document.body, deepLinking: true });
