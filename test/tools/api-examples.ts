import ts from 'typescript';

/** Something an entry point exports, or a method of a class it exports, and the examples in its doc comment. */
export interface PublicSymbol {
  readonly name: string;
  readonly isDocumented: boolean;
  readonly examples: readonly string[];
  readonly methods: readonly PublicSymbol[];
}

/** What the module in `file` exports, whichever file it is declared in. */
export function publicSymbols(file: string): PublicSymbol[] {
  // Only this project's own declarations are of interest here: without the libraries it takes a fraction of the time.
  const program = ts.createProgram([file], { module: ts.ModuleKind.NodeNext, noLib: true, types: [] });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(file);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${file} is no module`);
  return checker.getExportsOfModule(module).map((symbol) => {
    const isAlias = (symbol.flags & ts.SymbolFlags.Alias) !== 0;
    return describeSymbol(isAlias ? checker.getAliasedSymbol(symbol) : symbol, symbol.name, checker);
  });
}

function describeSymbol(symbol: ts.Symbol, name: string, checker: ts.TypeChecker): PublicSymbol {
  const tags = symbol.getJsDocTags(checker).filter((tag) => tag.name === 'example');
  return {
    name,
    isDocumented: symbol.getDocumentationComment(checker).length > 0,
    examples: tags.map(({ text }) => ts.displayPartsToString(text)),
    methods: methodsOf(symbol).map((method) => describeSymbol(method, `${name}.${method.name}`, checker)),
  };
}

/** The methods with a doc comment of their own: the others do what the interface says that the class implements. */
function methodsOf(symbol: ts.Symbol): ts.Symbol[] {
  if ((symbol.flags & ts.SymbolFlags.Class) === 0) return [];
  const members = [...(symbol.members?.values() ?? []), ...(symbol.exports?.values() ?? [])];
  return members.filter(({ valueDeclaration: declaration }) => {
    if (declaration === undefined || !ts.isMethodDeclaration(declaration) || !ts.isIdentifier(declaration.name)) return false;
    const comments = ts.getJSDocCommentsAndTags(declaration);
    return comments.length > 0 && !comments.some((comment) => comment.getText().includes('@internal'));
  });
}
