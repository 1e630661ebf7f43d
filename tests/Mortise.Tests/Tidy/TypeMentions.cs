using System.Collections.Immutable;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace Mortise.Tests.Tidy;

/// <summary>
/// Collects the types of the same assembly that a type needs: base, interfaces, constraints, attributes, and what its
/// fields, methods and instructions name. Signatures are walked for what they mention; no type is built from them.
/// </summary>
internal sealed class TypeMentions(PEReader image, MetadataReader metadata) : ISignatureTypeProvider<int, object?>
{
    private HashSet<TypeDefinitionHandle> _mentioned = [];

    public IReadOnlySet<TypeDefinitionHandle> Of(TypeDefinitionHandle handle)
    {
        _mentioned = [];
        var type = metadata.GetTypeDefinition(handle);
        Mention(type.BaseType);
        foreach (var each in type.GetInterfaceImplementations())
            Mention(metadata.GetInterfaceImplementation(each).Interface);
        Mention(type.GetGenericParameters());
        Mention(type.GetCustomAttributes());
        foreach (var each in type.GetFields())
            metadata.GetFieldDefinition(each).DecodeSignature(this, null);
        foreach (var each in type.GetMethods())
            Mention(metadata.GetMethodDefinition(each));
        return _mentioned;
    }

    private void Mention(MethodDefinition method)
    {
        method.DecodeSignature(this, null);
        Mention(method.GetGenericParameters());
        Mention(method.GetCustomAttributes());
        if (method.RelativeVirtualAddress == 0)
            return;
        var body = image.GetMethodBody(method.RelativeVirtualAddress);
        Mention(body.LocalSignature);
        foreach (var region in body.ExceptionRegions)
            Mention(region.CatchType);
        foreach (var token in IlOperands.Of(body))
            Mention(token);
    }

    private void Mention(GenericParameterHandleCollection parameters)
    {
        foreach (var parameter in parameters)
            foreach (var constraint in metadata.GetGenericParameter(parameter).GetConstraints())
                Mention(metadata.GetGenericParameterConstraint(constraint).Type);
    }

    private void Mention(CustomAttributeHandleCollection attributes)
    {
        foreach (var attribute in attributes)
            Mention(metadata.GetCustomAttribute(attribute).Constructor);
    }

    private void Mention(EntityHandle handle)
    {
        if (handle.IsNil)
            return;
        switch (handle.Kind)
        {
            case HandleKind.TypeDefinition:
                _mentioned.Add((TypeDefinitionHandle)handle);
                break;
            case HandleKind.TypeSpecification:
                metadata.GetTypeSpecification((TypeSpecificationHandle)handle).DecodeSignature(this, null);
                break;
            case HandleKind.MethodDefinition:
                _mentioned.Add(metadata.GetMethodDefinition((MethodDefinitionHandle)handle).GetDeclaringType());
                break;
            case HandleKind.FieldDefinition:
                _mentioned.Add(metadata.GetFieldDefinition((FieldDefinitionHandle)handle).GetDeclaringType());
                break;
            case HandleKind.MemberReference:
                Mention(metadata.GetMemberReference((MemberReferenceHandle)handle).Parent);
                break;
            case HandleKind.MethodSpecification:
                var method = metadata.GetMethodSpecification((MethodSpecificationHandle)handle);
                Mention(method.Method);
                method.DecodeSignature(this, null);
                break;
            case HandleKind.StandaloneSignature:
                var signature = metadata.GetStandaloneSignature((StandaloneSignatureHandle)handle);
                if (signature.GetKind() == StandaloneSignatureKind.LocalVariables)
                    signature.DecodeLocalSignature(this, null);
                break;
        }
    }

    public int GetTypeFromDefinition(MetadataReader reader, TypeDefinitionHandle handle, byte rawTypeKind)
    {
        _mentioned.Add(handle);
        return 0;
    }

    public int GetTypeFromSpecification(MetadataReader reader, object? context,
        TypeSpecificationHandle handle, byte rawTypeKind)
    {
        Mention(handle);
        return 0;
    }

    // What follows leads to no further type of this assembly: its parts were visited before it.
    public int GetTypeFromReference(MetadataReader reader, TypeReferenceHandle handle, byte rawTypeKind) => 0;
    public int GetArrayType(int elementType, ArrayShape shape) => 0;
    public int GetByReferenceType(int elementType) => 0;
    public int GetFunctionPointerType(MethodSignature<int> signature) => 0;
    public int GetGenericInstantiation(int genericType, ImmutableArray<int> typeArguments) => 0;
    public int GetGenericMethodParameter(object? context, int index) => 0;
    public int GetGenericTypeParameter(object? context, int index) => 0;
    public int GetModifiedType(int modifier, int unmodifiedType, bool isRequired) => 0;
    public int GetPinnedType(int elementType) => 0;
    public int GetPointerType(int elementType) => 0;
    public int GetPrimitiveType(PrimitiveTypeCode typeCode) => 0;
    public int GetSZArrayType(int elementType) => 0;
}
