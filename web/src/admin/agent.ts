const browsers: [RegExp, string][] = [
  [/\bEdg(?:A|iOS)?\/(\d+)/, "Edge"],
  [/\bOPR\/(\d+)/, "Opera"],
  [/\bSamsungBrowser\/(\d+)/, "Samsung Internet"],
  [/\b(?:Firefox|FxiOS)\/(\d+)/, "Firefox"],
  [/\b(?:Headless)?(?:Chrome|CriOS)\/(\d+)/, "Chrome"],
  [/\bVersion\/(\d+)[\d.]*.* Safari\//, "Safari"],
];
const systems: [RegExp, string][] = [
  [/Windows NT/, "Windows"],
  [/Android/, "Android"],
  [/iPhone|iPad|iPod/, "iOS"],
  [/Mac OS X/, "macOS"],
  [/CrOS/, "ChromeOS"],
  [/Linux/, "Linux"],
];

/** What a client calls itself, in a few words: "Chrome 149, Linux", "curl 8.14". The whole of it when it is none of the known. */
export function agentText(agent: string): string {
  for (const [re, name] of browsers) {
    const version = re.exec(agent)?.[1];
    if (!version) continue;
    const system = systems.find(([re]) => re.test(agent))?.[1];
    return system ? `${name} ${version}, ${system}` : `${name} ${version}`;
  }
  const tool = /^([\w.-]+)\/(\d+(?:\.\d+)?)\S*(?: \(.*\))?$/.exec(agent);
  return tool ? `${tool[1]} ${tool[2]}` : agent;
}
