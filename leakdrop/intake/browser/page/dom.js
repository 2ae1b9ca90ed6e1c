/** The few things that every page does with its document. Texts come in as texts: nothing makes markup of them. */

/** @param {string} id */
export function find(id) {
  const element = document.getElementById(id);
  if (!element) {
    throw new TypeError(`the page has no ${id}`);
  }
  return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {string} [text]
 */
export function make(name, text = "") {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

/**
 * Put what stands in a template in the place that says that the page is not ready.
 *
 * @param {string} id
 */
export function fillPlace(id) {
  const template = /** @type {HTMLTemplateElement} */ (find(id));
  find("place").replaceChildren(template.content.cloneNode(true));
}

/**
 * Run when the page is left. A page that the browser kept is loaded anew: it must not show again what it held.
 *
 * @param {() => void} forget
 * @param {() => void} [prepare] runs before it is loaded anew
 */
export function whenLeft(forget, prepare = () => {}) {
  window.addEventListener("pagehide", forget);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      prepare();
      location.reload();
    }
  });
}

/**
 * Run when Enter is pressed in a field: there are no forms here, which could send what is in them.
 *
 * @param {HTMLElement} field
 * @param {() => void} act
 * @param {() => boolean} [isReady] else Enter does what it does anyway
 */
export function whenEntered(field, act, isReady = () => true) {
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing && isReady()) {
      event.preventDefault();
      act();
    }
  });
}
