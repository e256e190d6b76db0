/** A typedoc plugin: pages are called by their first heading, not by the names of their files. */
import { Converter } from 'typedoc';

export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, page) => {
    const heading = /^#+ (.*)$/m.exec(page.content.map(({ text }) => text).join(''));
    if (heading !== null) page.name = heading[1];
  });
}
