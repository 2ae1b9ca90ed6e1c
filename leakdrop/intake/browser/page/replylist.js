/** The replies as the page shows them: their words as words, their files as names with a button. */

import { find, make } from "./dom.js";
import { saySize } from "./estimate.js";

/** @import { FileEntry } from "../envelope/index.js" */
/** @import { Reply } from "./reply.js" */

/**
 * What the list asks for: to offer a file for saving, and to delete a reply, which tells whether it is gone.
 *
 * @typedef {{ save: (reply: Reply, number: number) => unknown, remove: (reply: Reply) => Promise<boolean> }} Asks
 */

export class ReplyList {
  /**
   * @param {HTMLElement} list
   * @param {Asks} asks
   */
  constructor(list, asks) {
    this.list = list;
    this.asks = asks;
  }

  /** @param {readonly Reply[]} replies in the order of the answer */
  show(replies) {
    this.list.replaceChildren(...replies.map((reply, i) => this.describe(reply, i + 1)));
    this.count();
  }

  /** What there is to say of all of them. */
  count() {
    const isEmpty = this.list.childElementCount === 0;
    find("none").hidden = !isEmpty;
    find("some").hidden = isEmpty;
  }

  /**
   * @param {Reply} reply
   * @param {number} number
   */
  describe(reply, number) {
    const item = make("li");
    const title = make("h3", `Reply ${number}`);
    item.append(title, ...(reply.envelope ? this.describeOpened(reply) : [describeDamaged()]));
    item.append(this.makeRemoval(reply, item, number));
    return item;
  }

  /** @param {Reply} reply */
  describeOpened(reply) {
    const { message, files } = /** @type {NonNullable<Reply["envelope"]>} */ (reply.envelope).index;
    const parts = [];
    if (message) {
      const text = make("p", message);
      text.className = "message";
      text.dir = "auto";
      parts.push(text);
    }
    if (files.length > 0) {
      const list = make("ul");
      list.className = "attached";
      list.append(...files.map((file, i) => this.describeFile(reply, file, i)));
      const warning = make(
        "p",
        "Saving a file writes it to this device: whoever looks into the device can find it. Delete it when you have read it.",
      );
      warning.className = "help";
      parts.push(make("h4", "Files"), list, warning);
    }
    return parts;
  }

  /**
   * @param {Reply} reply
   * @param {FileEntry} file
   * @param {number} number
   */
  describeFile(reply, file, number) {
    const item = make("li");
    const name = make("bdi", file.name);
    const button = makeButton("Save", () => this.asks.save(reply, number));
    button.setAttribute("aria-label", `Save ${file.name} to this device`);
    item.append(name, ` (${saySize(file.size)}) `, button);
    return item;
  }

  /**
   * A button that asks once, and then deletes.
   *
   * @param {Reply} reply
   * @param {HTMLElement} item
   * @param {number} number
   */
  makeRemoval(reply, item, number) {
    const box = make("div");
    box.className = "removal";
    const first = makeButton(`Delete reply ${number}`, () => {
      box.replaceChildren(question, buttons);
      question.focus();
    });
    const question = make("p", "It will be gone for good: nobody can give it back to you. Delete it?");
    question.tabIndex = -1;
    const yes = makeButton("Delete", async () => {
      yes.disabled = true;
      if (await this.asks.remove(reply)) {
        item.remove();
        this.count();
        find("answer-title").focus();
      } else {
        yes.disabled = false;
      }
    });
    const no = makeButton("Keep", () => {
      box.replaceChildren(first);
      first.focus();
    });
    const buttons = make("p");
    buttons.className = "buttons";
    buttons.append(yes, no);
    box.append(first);
    return box;
  }
}

function describeDamaged() {
  const text = make(
    "p",
    "This reply could not be opened. It was damaged on its way, or it was never meant for your words. The other replies are not touched by that.",
  );
  text.className = "wrong";
  return text;
}

/**
 * @param {string} text
 * @param {() => unknown} act
 */
function makeButton(text, act) {
  const button = make("button", text);
  button.type = "button";
  button.className = "quiet";
  button.addEventListener("click", act);
  return button;
}
