/**
 * Fetches a drawing. The browser's XML parser reads it through XMLHttpRequest,
 * which needs no string turned into HTML and so passes Trusted Types; whatever
 * in it could run or style beyond itself is taken out.
 */
export function loadDrawing(url: string): Promise<SVGSVGElement> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.overrideMimeType("image/svg+xml");
    request.onerror = () => reject(new Error(`cannot load ${url}`));
    request.onload = () => {
      const root = request.responseXML?.documentElement;
      if (request.status !== 200 || !root || root.localName !== "svg") return reject(new Error(`${url} is no drawing`));
      resolve(document.importNode(harmless(root), true) as unknown as SVGSVGElement);
    };
    request.send();
  });
}

const forbidden = "script,style,foreignObject,iframe,animate,set,a,use,image";

/** Takes out of a drawing what a drawing of a plant does not need. */
export function harmless<T extends Element>(root: T): T {
  for (const element of root.querySelectorAll(forbidden)) element.remove();
  for (const element of [root, ...root.querySelectorAll("*")]) {
    for (const { name } of [...element.attributes]) {
      if (name === "style" || name.startsWith("on") || name.endsWith("href")) element.removeAttribute(name);
    }
  }
  return root;
}
